"""What operators do: every act that changes something is a leaf of the audit log."""
