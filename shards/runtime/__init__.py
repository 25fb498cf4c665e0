"""Parts of the machine that the format needs: threads, memory, forks, compilation, Arrow. No knowledge of stores."""
