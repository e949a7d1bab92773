"""Claims made for the generic ephemeral volumes of Pods."""
