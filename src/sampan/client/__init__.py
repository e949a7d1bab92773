"""The one way components see the world: calls, live copies of resources, work queues, events."""
