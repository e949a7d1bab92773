"""The `proxy` subresources: requests passed on to the server behind a Pod, a Service or a node."""
