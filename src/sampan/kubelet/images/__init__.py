"""Images: fetched by skopeo, unpacked once per layer, put together by overlay mounts."""
