"""The device: captures a face, shows that it is live, signs the evidence, acts on the decision."""
