"""CCER待抵销: mirrored units, bindings, messages and comparisons."""
