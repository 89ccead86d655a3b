// A Node.js booted for one run to come: IT_BOOT_SINGLE in supervisor/protocol.h. It runs inside the sandbox as `node -e`, as the user of
// that run, waits on descriptor 3 and then behaves as `node main.js` does. With the argument "typescript" it also loads what strips
// types; with a file after that, it runs the file at once instead of waiting.
'use strict';
{
  const fs = require('fs');
  const Module = require('module');
  const { Console } = require('console');
  const { Writable } = require('stream');
  const [language, ...direct] = process.argv.slice(1);

  // What `node -e` adds to the global object and `node file` does not.
  const forgetEval = () => {
    for (const name of ['require', 'module', 'exports', '__filename', '__dirname']) delete globalThis[name];
    for (const name of Module.builtinModules)
      if (Object.getOwnPropertyDescriptor(globalThis, name)?.set?.name === 'setReal') delete globalThis[name];
    delete process._eval;
    process.execArgv = [];
    process.nextTick(() => { delete globalThis.module; }); // Node puts it back when its first script ends
  };

  const typeStripper = () => {
    if (Module.stripTypeScriptTypes) return (source) => Module.stripTypeScriptTypes(source, { mode: 'transform' });
    const places = ['/usr/local/lib/node_modules/typescript', '/usr/lib/node_modules/typescript', '/usr/share/nodejs/typescript'];
    const place = places.find((candidate) => fs.existsSync(candidate));
    if (!place) throw new Error('this image has no TypeScript: install the npm package typescript globally');
    const ts = require(place);
    const options = {
      module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true, inlineSourceMap: true,
      experimentalDecorators: true,
    };
    return (source, fileName) => {
      const { outputText, diagnostics } = ts.transpileModule(source, { compilerOptions: options, fileName, reportDiagnostics: true });
      const found = diagnostics.find((diagnostic) => diagnostic.file); // what has a place is about the syntax, as types are not looked at
      if (found) throw syntaxError(ts.flattenDiagnosticMessageText(found.messageText, '\n'), fileName, found.file, found.start);
      return outputText;
    };
  };

  // As V8 tells of one in JavaScript: the place, the line, the caret.
  const syntaxError = (message, fileName, file, start) => {
    const { line, character } = file.getLineAndCharacterOfPosition(start);
    const error = new SyntaxError(message);
    const shown = `${file.text.split('\n')[line]}\n${' '.repeat(character)}^`;
    error.stack = `${fileName}:${line + 1}\n${shown}\n\nSyntaxError: ${message}\n    at ${fileName}:${line + 1}:${character + 1}`;
    return error;
  };

  const loadTypeScript = () => {
    const strip = typeStripper();
    const sample = 'import fs from "fs"; interface A<T> { a?: T } const f = async (x: string): Promise<A<string>> => ({ a: `${x}` }); export { f };';
    for (let i = 0; i < 20; i++) strip(`${sample} const n${i}: number = ${i}; console.log(n${i});`, 'warm.ts');
    process.setSourceMapsEnabled?.(true);
    const stripped = new Map(); // the main file, once
    const load = (path) => stripped.get(path) ?? strip(fs.readFileSync(path, 'utf8'), path);
    for (const suffix of ['.ts', '.cts']) Module._extensions[suffix] = (module, path) => module._compile(load(path), path);
    // Node shows the line that throws an error, which is one of ours here: so it is told without Node where no program can catch it.
    return (file) => {
      try {
        stripped.set(file, load(file));
      } catch (error) {
        if (!(error instanceof SyntaxError)) return; // it comes again
        process.stderr.write(`${error.stack}\n\nNode.js ${process.version}\n`);
        process.reallyExit(1);
      }
    };
  };

  // A first call compiles and links what a later one finds ready. What is warmed here is what every run needs: loading a file as
  // the main module, writing to the console, turning the event loop.
  const warm = () => {
    const sink = new Console(new Writable({ write(_chunk, _encoding, done) { done(); } }));
    for (let i = 0; i < 3; i++) sink.log('warm %s', i, [1], { a: 'b' });
    process.stdout; process.stderr; // not stdin: to look at it makes it non-blocking, and fs.readFileSync(0) fail
    process.stdout.write('');
    try {
      const directory = fs.mkdtempSync('/tmp/.warm-');
      const file = `${directory}/warm.${language === 'typescript' ? 'ts' : 'js'}`;
      fs.writeFileSync(file, 'const warm = [1].map((x) => `${x}`); for (const w of warm) w;');
      Module._load(file, null, true);
      fs.rmSync(directory, { recursive: true });
      delete process.mainModule;
      delete Module._cache[file];
      for (const path of Object.keys(Module._pathCache)) delete Module._pathCache[path];
    } catch {} // a full or read-only /tmp: the run is slower, not other
  };

  const read = (count) => {
    const data = Buffer.alloc(count);
    for (let at = 0; at < count; ) {
      const got = fs.readSync(3, data, at, count - at, null);
      if (got === 0) process.reallyExit(0); // the supervisor is gone
      at += got;
    }
    return data;
  };

  // [directory, argc, ...argv, ...environment, '']; the user id before them is ours already
  const handOver = () => {
    const words = read(read(4).readUInt32LE(0)).toString('utf8', 4).split('\0');
    fs.closeSync(3);
    return words;
  };

  const become = ([directory, count, ...words]) => {
    process.chdir(directory);
    const wanted = new Map(words.slice(Number(count), -1).map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));
    for (const name of Object.keys(process.env)) if (!wanted.has(name)) delete process.env[name];
    for (const [name, value] of wanted) if (process.env[name] !== value) process.env[name] = value;
    if (process.env.NODE_PATH) Module._initPaths(); // a run's dependencies
    return words.slice(0, Number(count));
  };

  // Once every listener of 'exit' has run, nothing that a program could see is left to do: the rest of the teardown only frees memory.
  // Only after an exception that nobody caught it is not so: Node prints it then.
  const leaveAtOnce = () => {
    const emit = process.emit;
    let fatal = false;
    const value = function (name, ...values) {
      if (name === 'uncaughtExceptionMonitor') fatal = true;
      const result = Reflect.apply(emit, this, [name, ...values]);
      if (name === 'uncaughtException' && result) fatal = false;
      if (name === 'exit' && !fatal) process.reallyExit(process.exitCode ?? values[0] ?? 0);
      return result;
    };
    Object.defineProperty(process, 'emit', { value, enumerable: false, configurable: true, writable: true });
  };

  // From the queue, so that no frame of ours is in the traces of the program.
  const main = ([file, ...words]) => {
    process.argv = [process.execPath, file, ...words];
    prepare?.(file);
    process.nextTick(Module.runMain, file);
  };

  const prepare = language === 'typescript' ? loadTypeScript() : undefined;
  forgetEval();
  leaveAtOnce();
  if (direct.length) {
    main(direct);
  } else {
    warm();
    // Not before the event loop turns: what Node does after its first script is then done ahead as well.
    setImmediate(() => {
      fs.writeSync(3, 'r');
      main(become(handOver()));
    });
  }
}
