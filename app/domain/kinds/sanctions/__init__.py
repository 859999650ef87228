"""管理措施 and 司法协助: what authorities and courts order."""
