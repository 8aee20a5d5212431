//! Releases of the one pack that scenarios install: a service that listens, and the ways in which it can be bad.

use crate::world::World;

/// What a release does when its service runs.
#[derive(Debug, Clone, Copy)]
pub enum Bot {
    /// Answers with 200.
    Good,
    /// Answers with 500.
    Answers500,
    /// Takes connections and never answers.
    Hangs,
    /// Answers with 200, and ends with an error after five seconds.
    DiesAfter5,
    /// Answers with 200, and complains all the time.
    Complains,
}

/// Listens on its argument and answers with what the second one says; nothing but what every Debian has.
const SERVER: &str = r#"
use strict; use IO::Socket::INET; $| = 1;
my ($port, $manner) = @ARGV;
my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 50, ReuseAddr => 1) or die $!;
print "listening\n";
my @held;
if ($manner eq 'complains') {
    if (!fork()) { for (1 .. 400) { print "ERROR: cannot find the moon\n"; select undef, undef, undef, 0.1 } exit }
}
if ($manner eq 'dies') { if (!fork()) { sleep 5; kill 'KILL', getppid(); exit } }
while (my $client = $listen->accept) {
    if ($manner eq 'hangs') { push @held, $client; next }
    my $line = <$client>;
    my $status = $manner eq '500' ? '500 no' : '200 ok';
    print $client "HTTP/1.1 $status\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    close $client;
}
"#;

impl World {
    /// The port of this world's services: no two worlds that share a machine have one.
    pub fn port(&self) -> u16 {
        let digest = blake3::hash(self.name.as_bytes());
        10_000 + u16::from_le_bytes([digest.as_bytes()[0], digest.as_bytes()[1]]) % 20_000
    }

    /// The unit that runs it.
    pub fn unit(&self) -> String {
        format!("lab@{}.service", self.name)
    }

    /// Makes a release of a service that behaves like this. `prompt.md` says which release it is.
    pub fn bot(&self, version: &str, bot: Bot) {
        let manner = match bot {
            Bot::Good => "good",
            Bot::Answers500 => "500",
            Bot::Hangs => "hangs",
            Bot::DiesAfter5 => "dies",
            Bot::Complains => "complains",
        };
        let run = format!("#!/bin/sh\nexec perl bot/server.pl {} {manner}\n", self.port());
        self.release(version, &[("run*", &run), ("server.pl", SERVER), ("prompt.md", &self.prompt(version))]);
    }

    /// What a release's `bot/prompt.md` holds: apart from the first line it is the same in all of them.
    pub fn prompt(&self, version: &str) -> String {
        format!("I am {version}.\n\nBe brief.\n\nBe kind.\n\nCite sources.\n")
    }
}
