"""Reference data: Flask-AppBuilder's ModelView in our frame, and the pages that it makes."""
