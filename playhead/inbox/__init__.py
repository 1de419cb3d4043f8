"""The inbox: a folder or a bucket that is watched for new files."""
