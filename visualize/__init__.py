"""How a person sees a run: figures and terminal tables."""
