"""Logs, exec, attach and port-forward: the client's protocols on one side, NodeStreams on the other."""
