"""HTTP: the views translate, and decide nothing."""
