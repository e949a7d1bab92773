"""`python -m sampan`."""

import sys

from sampan.cli.main import main

sys.exit(main())
