"""One component of each kind, registered with picme from outside."""
