"""What the format needs of the machine: threads, memory, forks, compilation, Arrow. It knows nothing of stores."""
