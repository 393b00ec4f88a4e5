def main():
    import json, linecache, os, sys

    job = os.environb.pop(b"MS_PYTHON", None)
    if job is None:
        with open("/dev/fd/9", "rb") as script:
            job = script.read()
        os.close(9)
    job = json.loads(job.decode())
    file, text, above = job["file"], job["code"], job["line"] - 1

    def value(item):
        if isinstance(item, list):
            return [value(part) for part in item]
        if not isinstance(item, dict):
            return item
        kind, inner = item["kind"], item["value"]
        if kind == "map":
            return {key: value(part) for key, part in inner}
        return bytes.fromhex(inner) if kind == "bytes" else float(inner)

    def hook(kind, error, trace):
        import traceback

        # The frames of this runner are nothing that the author wrote.
        while trace and trace.tb_frame.f_code.co_filename == "<string>":
            trace = trace.tb_next
        traceback.print_exception(kind, error, trace)

    lines = ["\n"] * above + [line + "\n" for line in text.split("\n")]
    linecache.cache[file] = (len(text), None, lines, file)
    sys.excepthook = hook
    sys.argv[:] = [file]
    try:
        code, wrong = compile("\n" * above + text, file, "exec", dont_inherit=True), None
    except (SyntaxError, ValueError) as error:
        code, wrong = None, error
        if getattr(error, "lineno", None) and error.text is None:
            error.text = linecache.getline(file, error.lineno)
    if job["staged"]:
        # Byte by byte, as a shell reads: what follows the line is not ours.
        while True:
            byte = os.read(8, 1)
            if not byte:
                os._exit(125)
            if byte == b"\n":
                break
        os.close(8)
    if wrong is not None:
        raise wrong.with_traceback(None) from None
    names = sys.modules["__main__"].__dict__
    del names["main"]
    names["__mstream__"] = [value(item) for item in job["values"]]
    exec(code, names)


main()
