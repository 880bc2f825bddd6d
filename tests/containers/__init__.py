"""The images, built and run by a real engine: `make test-containers`."""
