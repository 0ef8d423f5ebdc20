"""The authorization log: a Merkle tree that anybody can verify."""
