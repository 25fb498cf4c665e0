"""From stored records to images, one file or folder a backend; `reference` says what all of them have to give."""
