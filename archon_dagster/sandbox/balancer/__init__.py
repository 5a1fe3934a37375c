"""Several processes of a service behind one port."""
