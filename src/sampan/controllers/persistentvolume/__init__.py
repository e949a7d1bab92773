"""The binder: brings claims and persistent volumes together, and volumes back when their claim has gone."""
