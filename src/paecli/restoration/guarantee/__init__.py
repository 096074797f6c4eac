"""What held-out images promise about a restoration: intervals that hold, and likeness."""
