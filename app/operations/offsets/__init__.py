"""CCER待抵销: bindings, mirrored units, messages with the CCER registry, comparison."""
