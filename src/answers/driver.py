import os, sys, warnings

# The mark, which the program does not know, stands before all that is told.
mark = sys.stdin.readline().strip()
channel = os.dup(1)
nowhere = os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 1)
os.dup2(nowhere, 2)
warnings.simplefilter("ignore")


def tell(word, said="", write=os.write):
    write(channel, f"{mark} {word} {said}\n".encode("utf-8", "replace"))


def read(name):
    with open(name, encoding="utf-8", newline="") as file:
        return file.read()


answer, program = read("answer.py"), read("program.py")
os.remove("answer.py")
os.remove("program.py")
try:
    compile(answer, "answer.py", "exec")
    tell("parsed")
except BaseException:
    pass
try:
    exec(compile(program, "program.py", "exec"), {})
except BaseException as error:
    said = " ".join(str(error).split())[:500]
    tell("failed", f"{type(error).__name__}: {said}" if said else type(error).__name__)
else:
    tell("passed")
os._exit(0)
