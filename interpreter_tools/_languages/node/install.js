// Installs packages with npm; runs as `node -e` in an installer, never in a sandbox.
//
// Tarballs are downloaded once for all sets of packages. A script of a package could change such a cache for the next
// set. So the shared cache belongs to a user of its own, as whom no package's code is run, and each tarball there has
// its digest for a name. npm takes a tarball by its digest, too, and checks it. An installation has a cache of its own,
// which begins with copies of the tarballs of its set. When it has ended, `keep` takes what is new into the shared
// cache, if the name is the digest of the contents. A digest cannot be guessed, and the shared cache cannot be listed.
'use strict';
const { spawnSync } = require('node:child_process');
const { createHash, randomBytes } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const MOST_CACHED = 2 ** 31; // bytes, beyond which nothing more is kept until the cache is removed
const LARGEST = 2 ** 28; // bytes of one tarball
const HOUR = 3_600_000; // milliseconds, after which nobody is at work any more on what lies there
const NO_PROGRAM = 127; // as shells say that there is no such program
const OPTIONS = ['--no-audit', '--no-fund', '--no-save', '--no-update-notifier'];

const contents = (cache) => path.join(cache, '_cacache/content-v2/sha512');

/** Return the digests of the tarballs that a set of packages needs; nothing is said of what fails. */
function plan(cache, packages) {
  const place = path.join(process.env.TMPDIR, 'plan');
  fs.mkdirSync(place);
  fs.writeFileSync(path.join(place, 'package.json'), '{}');
  const words = ['install', '--prefix', place, '--cache', cache, '--package-lock-only', '--ignore-scripts'];
  const options = OPTIONS.filter((each) => each !== '--no-save'); // it would save no list either
  spawnSync('npm', [...words, ...options, '--', ...packages], { stdio: 'ignore' });
  let listed;
  try {
    listed = JSON.parse(fs.readFileSync(path.join(place, 'package-lock.json'), 'utf8')).packages;
  } catch {
    return [];
  }
  return Object.values(listed)
    .flatMap((each) => (each.integrity ?? '').split(' '))
    .filter((each) => each.startsWith('sha512-'))
    .map((each) => Buffer.from(each.slice('sha512-'.length), 'base64').toString('hex'));
}

/** Copy the tarballs that are in the shared cache; return whether npm was asked which ones the set needs. */
function take(shared, cache, packages) {
  if (!shared || !fs.existsSync(path.join(shared, 'npm'))) return false;
  for (const digest of plan(cache, packages)) {
    const place = path.join(contents(cache), digest.slice(0, 2), digest.slice(2, 4));
    fs.mkdirSync(place, { recursive: true });
    try {
      fs.copyFileSync(path.join(shared, 'npm', digest), path.join(place, digest.slice(4)));
    } catch {
      // npm downloads it
    }
  }
  return true;
}

/** Install the packages, and return npm's status. */
function install(target, ...packages) {
  const temporary = process.env.TMPDIR;
  const cache = path.join(temporary, 'npm');
  process.umask(0o022);
  const planned = take(process.env.INTERPRETER_TOOLS_CACHE, cache, packages);
  const words = ['install', '--prefix', target, '--cache', cache, '--no-package-lock', ...OPTIONS];
  if (planned) words.push('--prefer-offline'); // it has just asked
  const prefix = path.dirname(path.dirname(process.execPath)); // node-gyp takes the image's headers, and downloads none
  const headers = fs.existsSync(path.join(prefix, 'include/node/node_api.h')) ? { npm_config_nodedir: prefix } : {};
  const env = { ...headers, ...process.env };
  const ended = spawnSync('npm', [...words, '--', ...packages], { stdio: 'inherit', env });
  if (ended.error) {
    console.error(`npm cannot be started: ${ended.error.message}`);
    return NO_PROGRAM;
  }
  for (const each of [temporary, path.dirname(temporary)]) fs.chmodSync(each, 0o711); // for `keep`, which is another user
  return ended.status ?? 1;
}

/** Return the contents of a file that its owner may have made to harm its readers; null where it is no tarball. */
function read(file) {
  const opened = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
  try {
    const status = fs.fstatSync(opened);
    if (!status.isFile() || status.size > LARGEST) return null;
    const data = fs.readFileSync(opened);
    return data[0] === '{'.charCodeAt(0) ? null : data; // the description of a package, which changes
  } finally {
    fs.closeSync(opened);
  }
}

/** Add the tarballs of an installation's own cache to the shared one. */
function keep(home, temporary) {
  process.umask(0o077);
  const shared = path.join(home, 'npm');
  const total = path.join(home, 'npm-size');
  fs.mkdirSync(shared, { recursive: true });
  for (const each of [path.dirname(home), home, shared]) fs.chmodSync(each, 0o711);
  fs.utimesSync(path.dirname(home), new Date(), new Date()); // the time of the last use
  const old = fs.readdirSync(home).filter((each) => each.startsWith('scratch-')).map((each) => path.join(home, each));
  for (const each of old) if (fs.statSync(each).mtimeMs < Date.now() - HOUR) fs.rmSync(each, { recursive: true });
  let size = fs.existsSync(total) ? Number(fs.readFileSync(total, 'utf8')) : 0;
  for (const entry of fs.readdirSync(contents(path.join(temporary, 'npm')), { recursive: true })) {
    const digest = entry.replaceAll('/', '');
    const kept = path.join(shared, digest);
    if (!/^[0-9a-f]{128}$/.test(digest) || size > MOST_CACHED || fs.existsSync(kept)) continue;
    const data = read(path.join(contents(path.join(temporary, 'npm')), entry));
    if (data === null || createHash('sha512').update(data).digest('hex') !== digest) continue;
    const made = path.join(home, `scratch-${randomBytes(16).toString('hex')}`);
    fs.writeFileSync(made, data);
    fs.chmodSync(made, 0o644);
    fs.renameSync(made, kept);
    size += data.length;
    fs.writeFileSync(total, String(size));
  }
}

const [act, ...words] = process.argv.slice(1);
if (act === 'keep') keep(...words);
else process.exitCode = install(...words);
