"""The networks of the paper: encoder, AdaIN_SD, MRFM Generator, Discriminator."""
