"""`bep build-shards`: what is decided (select, plan), what is done (task, execute), and what makes a build resume."""
