"""The network of S3-Net: large-kernel attention and a deformable convolution, for one image at a time."""
