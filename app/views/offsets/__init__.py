"""CCER抵销: mirrored units, applications, bindings, messages with the CCER registry, comparisons."""
