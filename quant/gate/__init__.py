"""The accuracy gate: limits, evidence, exact statistics and a verdict for CI."""
