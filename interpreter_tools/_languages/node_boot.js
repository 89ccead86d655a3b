// A Node.js booted for one run to come: IT_BOOT_SINGLE in supervisor/protocol.h. It runs inside the sandbox as `node -e`, waits on
// descriptor 3, becomes the sandbox user and then behaves as `node main.js` does. With the argument "typescript" it also loads what
// strips types; with a file after that, it runs the file at once instead of waiting.
'use strict';
{
  const fs = require('fs');
  const Module = require('module');
  const [language, direct] = process.argv.slice(1);

  // What `node -e` adds to the global object and `node file` does not.
  const forgetEval = () => {
    for (const name of ['require', 'module', 'exports', '__filename', '__dirname']) delete globalThis[name];
    for (const name of Module.builtinModules) {
      const found = Object.getOwnPropertyDescriptor(globalThis, name);
      if (found?.set?.name === 'setReal') delete globalThis[name];
    }
    delete process._eval;
    process.execArgv = [];
  };

  const typeStripper = () => {
    if (Module.stripTypeScriptTypes) {
      process.removeAllListeners('warning');
      return (source) => Module.stripTypeScriptTypes(source, { mode: 'transform', sourceMap: false });
    }
    const places = ['/usr/local/lib/node_modules/typescript', '/usr/lib/node_modules/typescript', '/usr/share/nodejs/typescript'];
    const place = places.find((candidate) => fs.existsSync(candidate));
    if (!place) throw new Error('this image has no TypeScript: install the npm package typescript globally');
    const ts = require(place);
    const options = {
      module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true, inlineSourceMap: true,
      experimentalDecorators: true,
    };
    return (source, fileName) => ts.transpileModule(source, { compilerOptions: options, fileName }).outputText;
  };

  const loadTypeScript = () => {
    const strip = typeStripper();
    strip('const warm: number = 1; export const f = async (x: string) => `${x}`;', 'warm.ts');
    process.setSourceMapsEnabled?.(true);
    for (const suffix of ['.ts', '.cts'])
      Module._extensions[suffix] = (module, path) => module._compile(strip(fs.readFileSync(path, 'utf8'), path), path);
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

  const handOver = () => {
    const message = read(read(4).readUInt32LE(0));
    const uid = message.readUInt32LE(0);
    const words = message.subarray(4).toString('utf8').split('\0');
    const count = Number(words[1]);
    return { uid, directory: words[0], argv: words.slice(2, 2 + count), environment: words.slice(2 + count, -1) };
  };

  const become = ({ uid, directory, argv, environment }) => {
    fs.closeSync(3);
    try {
      fs.writeFileSync('/proc/self/oom_score_adj', '1000');
    } catch {} // gVisor has no such file
    process.setgroups([]);
    process.setgid(uid);
    process.setuid(uid);
    process.umask(0o22);
    process.chdir(directory);
    for (const name of Object.keys(process.env)) delete process.env[name];
    for (const variable of environment) {
      const at = variable.indexOf('=');
      process.env[variable.slice(0, at)] = variable.slice(at + 1);
    }
    return argv[0];
  };

  // Once every listener of 'exit' has run, nothing that a program could see is left to do: the rest of the teardown only frees memory.
  const leaveAtOnce = () => {
    const emit = process.emit;
    process.emit = function (name, ...values) {
      const result = Reflect.apply(emit, this, [name, ...values]);
      if (name === 'exit') process.reallyExit(process.exitCode ?? values[0] ?? 0);
      return result;
    };
    Object.defineProperty(process, 'emit', { enumerable: false });
  };

  const main = (file) => {
    process.argv = [process.execPath, file];
    leaveAtOnce();
    Module.runMain(file);
  };

  if (language === 'typescript') loadTypeScript();
  forgetEval();
  if (direct) {
    main(direct);
  } else {
    process.stdout; process.stderr; process.stdin; // made now, not in the run
    fs.writeSync(3, 'r');
    main(become(handOver()));
  }
}
