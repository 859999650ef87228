"""Money at settlement banks: banks, transfers and the book of serials."""
