"""Mathematics with no radio in it: randomness, split-real products, widely linear maps, checks."""
