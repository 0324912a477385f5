"""S3-Net: grouping the voxels of one image, learnt from that image alone (published as S3-Net / SSCT)."""
