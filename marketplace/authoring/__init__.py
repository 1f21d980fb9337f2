"""What a plugin's author does on the command line: new, check, run, bench, test, pack, publish, replay."""
