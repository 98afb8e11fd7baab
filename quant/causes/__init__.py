"""Why a layer loses accuracy, the evidence in numbers, and the recipe rule that fixes it."""
