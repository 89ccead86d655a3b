// Tells what an image has for Node.js, as JSON; runs as `node -e` in a container of its own.
// Its arguments are libraries, headers and programs: those that the image has are among the answer.
'use strict';

const fs = require('fs');
const path = require('path');
const Module = require('module');

function list(directory) {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}

// Packages that lie where every program finds them: scopes hold one more level.
function packages() {
  const named = (process.env.NODE_PATH || '').split(':').filter(Boolean);
  return [...named, ...Module.globalPaths, '/node_modules'].flatMap((place) =>
    list(place).flatMap((name) =>
      name.startsWith('@') ? list(path.join(place, name)).map((below) => `${name}/${below}`) : [name.replace(/\.js$/, '')],
    ),
  );
}

function has(need) {
  if (need.endsWith('.h')) {
    return ['/usr/include', '/usr/local/include'].some((place) => fs.existsSync(path.join(place, need)));
  }
  if (!need.includes('.so')) {
    return process.env.PATH.split(':').some((place) => fs.existsSync(path.join(place, need)));
  }
  return ['/lib', '/lib64', '/usr/lib', '/usr/lib64', '/usr/local/lib'].some((root) =>
    ['', ...list(root).filter((name) => name.includes('-linux-'))].some((below) => fs.existsSync(path.join(root, below, need))),
  );
}

const found = [...new Set(packages())];
console.log(
  JSON.stringify({
    version: process.versions.node,
    standard: Module.builtinModules,
    modules: found,
    packages: found,
    has_apt: fs.existsSync('/usr/bin/apt-get'),
    has: process.argv.slice(1).filter(has),
  }),
);
