"""More than two nodes, and nodes that are met under other names."""
