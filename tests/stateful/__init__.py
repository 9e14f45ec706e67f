"""One structure against its model, step by step."""
