"""Other replicators that work by triggers, set up for a comparison."""
