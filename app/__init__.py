"""The registry.  Imports nothing, so that app.domain and app.pki load without the web application."""
