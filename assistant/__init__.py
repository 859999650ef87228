"""The USBKey assistant (USBKey助手): a small local program that shows what is signed and asks the PIN.

It runs beside the browser of the person who signs and listens on this machine's loopback address
alone.  The registry's page opens it in a window of its own and hands over what is to be signed;
the window shows it, asks which certificate and the PIN, and hands the signature back.
"""

PORT = 17890  # documented, so that pages know where to find it
