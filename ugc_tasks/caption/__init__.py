"""The task ``ugc_videocap``: a caption of the whole clip, judged on picture, sound and details."""
