"""The HTTP interface: five services over one code. Routes read, call and answer."""
