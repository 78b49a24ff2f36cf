"""Which manifold do recordings and shapes of the field fill? Cases on which a wrong name is easy to give."""
