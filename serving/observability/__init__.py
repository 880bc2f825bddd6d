"""What a service tells of itself: request ids, a line a request, metrics, traces and defects, each by a setting."""
