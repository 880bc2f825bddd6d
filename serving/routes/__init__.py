"""Routes, one file a resource, with its request and response models."""
