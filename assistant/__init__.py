"""The USBKey assistant (USBKey助手): a local program that shows content, asks the PIN and signs.

It listens on the loopback interface of the member's machine.  The registry's page opens it in a
window and passes the content, which the window shows; it asks for certificate and PIN, and returns
the signature.
"""

PORT = 17890  # known to the registry's pages
