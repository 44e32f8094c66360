//! Which lines are worth a look: all keywords of all rules in one pass.
//!
//! Each keyword gives its rarest three characters; a bit table of all three-character
//! sequences says in three instructions a byte whether one of them ends here. Building it
//! takes microseconds, so an instance's first call costs no more than the others.

/// Character classes: letters without case, digits, and what appears in keywords.
const CLASSES: usize = 64;
/// Buckets of the second look.
const HEADS: usize = 4096;
const TABLE_BITS: usize = CLASSES * CLASSES * CLASSES;

/// One keyword, and its number.
#[derive(Clone, Copy)]
pub struct Keyword {
    /// At least three bytes.
    pub text: &'static str,
    /// Compared with case.
    pub exact: bool,
    /// What the caller wants to hear when it is found.
    pub id: u16,
}

/// A keyword that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where it begins.
    pub start: usize,
    /// Its length in bytes.
    pub len: usize,
    /// The keyword's own.
    pub id: u16,
}

struct Entry {
    key: u32,
    /// From the end of the three characters back to the keyword's start.
    back: u8,
    /// The keyword's length, and its first and last character in lower case: most candidates
    /// differ in one of them.
    len: u8,
    first: u8,
    last: u8,
    keyword: u16,
}

/// The table for a list of keywords.
pub struct Prefilter {
    classes: [u8; 256],
    bits: Vec<u64>,
    /// Sorted by key.
    entries: Vec<Entry>,
    /// Where the entries of a bucket begin; most have one or none.
    heads: Vec<u16>,
    keywords: Vec<Keyword>,
}

fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => byte - b'a' + 1,
        b'A'..=b'Z' => byte - b'A' + 1,
        b'0'..=b'9' => byte - b'0' + 27,
        b'_' => 37,
        b'-' => 38,
        b'.' => 39,
        b':' => 40,
        b'/' => 41,
        b'=' => 42,
        b'$' => 43,
        b'@' => 44,
        b'~' => 45,
        b'+' => 46,
        b'|' => 47,
        b'{' => 48,
        b'!' => 49,
        b'*' => 50,
        b'%' => 51,
        b' ' => 52,
        b'\n' => 0,
        // Bytes of other scripts, spread over the classes that are left.
        0x80.. => 54 + byte % 10,
        _ => 53,
    }
}

/// How common a character is in ordinary text; the three with the smallest sum are chosen.
fn weight(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b'e' | b't' | b' ' => 12,
        b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 9,
        b'l' | b'c' | b'd' | b'u' => 6,
        b'm' | b'p' | b'f' | b'h' | b'g' | b'-' | b'/' | b'=' => 4,
        b'.' | b'y' | b'b' | b'w' | b'_' | b':' => 3,
        b'v' | b'k' | b'0' | b'1' => 2,
        _ => 1,
    }
}

/// The sequences of three letters that are commonest in program text and prose: a keyword
/// is rarely looked for by one of these.
const COMMON: &str = "\
    ion the tio ing con ent ons str ode ate sel ter elf ass for nst typ ype res ame com est tur tri \
    ser ect and sta pro ati cod tes rin int err val nam let par def ind che ert ile ite rea ret ess \
    ver spa ort all ext cti men fil las cla rro urn etu ref use one dat ror nte ine pan pat thi ers \
    ult rat por pub ead per der mat ted exp lin alu ins ith not lue req ble end tru ope pti ont set \
    ist his age opt sse equ omm mod arg get out rom pre unc tem wit mpl tra sio ali ath cal key our \
    ore tor ize ure fun nde fin tat ang wor ime ten nal ara eve rce tch abl ram iti cat lse len fro \
    tim omp ere tex are lic hat ack ire orm les mut ord rec nce ces eri als new ple ran tin sou ive \
    add art atc urc nod cha her nct han ata met tha efi imp ies rit ema red nit pec app tar ini att \
    ome rop eat loc obj jec ase son din ain ica put mes esu gen onf ste lib rti sul hre bje rep pla \
    ail num ock ach atu enc hem mme map nts ace rma dex lat act lis ide ool non ost bin cor ssi era \
    rue oun sch rap und eco ues mpo man tre nfi doc ign lan gin tte ndi des rse nge ren que ans qui \
    ars pli fal ull tho dir reg ken rsi ule cra jso tok fig siz ven ill col som ial sed git can lit \
    ned scr src ens eng arr aul ork fau sit mit cri efa ume uir min sin oke nti own rip ner nta htt \
    ttp max hea xml any ria hec ust ity eck yte tie rou ljs ern hlj whe clo wri pac spe fer uti amp \
    led pen hin uct ast sub den sig hen cre hos els ber dis low ntr emp ipt ade ngt tab odu anc lon \
    ruc fie dge job rts gth tan har sto byt nsi sts its ove rra mbe uni ses run sec ded roc sag ray \
    ele ges lle ete exa ona mma zod pri xpo arn dul rde cke lea ute eme tml del dec htm ild tai liz \
    cte nne ttr bas ppl oce til nin but cto eta try ssa fla ifi lid too rge umb pos std llo bac oin \
    erv ina wra syn has inf unt xam xte ory ant ams oth old dit gra ice ese ole kin inp war cas oll \
    rac ker fai cop isi cfg esc thr npu fea usi cur vec ose ree nse tps ana ene chi sup emo rgs xpe \
    ian eth sen row mpt log dif ual ori dle ise ngs nds url rte var ler nfo sho ndl tit fix cli eti \
    tiv tic edi ari sha xpr pon ear ibc vis spo eso nes onl oca whi buf rai oot lar boo loa pol ote \
    ync egi xsl roo you sti rve ors slt inc ong ffe nly erm ena ura mer pas uil rem bui mem rig wil \
    tom riv ato see aut epr iff pes tal was unw ems nco ake cou ric epo ful eld api ndg ink ell rot \
    ond imi ush ege ept fac pin igh fol nul rna nto ilt ary mar rns iss ppe lem utp nwr cap ili eci \
";
/// What being common weighs.
const COMMON_WEIGHT: u32 = 30;

fn key_of(three: &[u8]) -> u32 {
    three.iter().fold(0, |key, byte| key << 6 | u32::from(class(*byte)))
}

/// Spreads the keys, many of which end with the same two characters.
fn bucket(key: u32) -> usize {
    (key.wrapping_mul(0x9E37_79B1) >> 20) as usize % HEADS
}

impl Prefilter {
    /// Keywords shorter than three bytes are not accepted (and caught by the tests).
    pub fn new(keywords: Vec<Keyword>) -> Self {
        let mut classes = [0; 256];
        for (byte, class_of) in (0..=255).zip(classes.iter_mut()) {
            *class_of = class(byte);
        }
        let mut common = vec![0_u64; TABLE_BITS / 64];
        for key in COMMON.split_ascii_whitespace().map(|three| key_of(three.as_bytes())) {
            common[key as usize / 64] |= 1 << (key % 64);
        }
        let weigh = |three: &[u8]| {
            let key = key_of(three);
            let is_common = common[key as usize / 64] >> (key % 64) & 1 == 1;
            three.iter().map(|byte| weight(*byte)).sum::<u32>() + if is_common { COMMON_WEIGHT } else { 0 }
        };
        let mut bits = vec![0; TABLE_BITS / 64];
        let mut entries: Vec<Entry> = Vec::with_capacity(keywords.len());
        for (n, keyword) in keywords.iter().enumerate() {
            let text = keyword.text.as_bytes();
            let rarest = (0..text.len().saturating_sub(2)).min_by_key(|at| weigh(&text[*at..at + 3]));
            let Some(at) = rarest else { continue };
            let key = key_of(&text[at..at + 3]);
            bits[key as usize / 64] |= 1_u64 << (key % 64);
            entries.push(Entry {
                key,
                back: (at + 3) as u8,
                len: text.len() as u8,
                first: text[0].to_ascii_lowercase(),
                last: text[text.len() - 1].to_ascii_lowercase(),
                keyword: n as u16,
            });
        }
        entries.sort_by_key(|entry| (bucket(entry.key), entry.key));
        let mut heads = vec![0; HEADS + 1];
        for (n, head) in heads.iter_mut().enumerate() {
            *head = entries.partition_point(|entry| bucket(entry.key) < n) as u16;
        }
        Prefilter { classes, bits, entries, heads, keywords }
    }

    /// Every keyword in `text`, in the order in which their three characters end.
    pub fn scan(&self, text: &[u8], mut found: impl FnMut(Hit)) {
        let mut key = 0_u32;
        let mut at = 0;
        let mut chunks = text.chunks_exact(8);
        // Eight at a time: the deadline's check at the loop's end is then paid once for eight.
        for chunk in &mut chunks {
            for byte in chunk {
                key = (key << 6 | u32::from(self.classes[usize::from(*byte)])) & (TABLE_BITS as u32 - 1);
                at += 1;
                if self.bits[key as usize / 64] >> (key % 64) & 1 == 1 {
                    self.verify(text, key, at, &mut found);
                }
            }
        }
        for byte in chunks.remainder() {
            key = (key << 6 | u32::from(self.classes[usize::from(*byte)])) & (TABLE_BITS as u32 - 1);
            at += 1;
            if self.bits[key as usize / 64] >> (key % 64) & 1 == 1 {
                self.verify(text, key, at, &mut found);
            }
        }
    }

    #[inline(never)]
    fn verify(&self, text: &[u8], key: u32, end: usize, found: &mut impl FnMut(Hit)) {
        let head = bucket(key);
        let entries = usize::from(self.heads[head])..usize::from(self.heads[head + 1]);
        for entry in self.entries[entries].iter().filter(|entry| entry.key == key) {
            let Some(start) = end.checked_sub(usize::from(entry.back)) else { continue };
            let Some(there) = text.get(start..start + usize::from(entry.len)) else { continue };
            let (Some(first), Some(last)) = (there.first(), there.last()) else { continue };
            if first.to_ascii_lowercase() != entry.first || last.to_ascii_lowercase() != entry.last {
                continue;
            }
            let keyword = &self.keywords[usize::from(entry.keyword)];
            let same = if keyword.exact {
                there == keyword.text.as_bytes()
            } else {
                there.eq_ignore_ascii_case(keyword.text.as_bytes())
            };
            if same {
                found(Hit { start, len: keyword.text.len(), id: keyword.id });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all() {
        let words = ["ghp_", "token", "secret", "sk-ant-", "key", "://"];
        let keywords = words.iter().zip(0..).map(|(text, id)| Keyword { text, exact: id == 0, id }).collect();
        let filter = Prefilter::new(keywords);
        let text = b"my ghp_x GHP_ TOKEN=secretkey\nsk-Ant- http://";
        let mut found = Vec::new();
        filter.scan(text, |hit| found.push((hit.start, hit.id)));
        found.sort_unstable();
        assert_eq!(found, [(3, 0), (14, 1), (20, 2), (26, 4), (30, 3), (42, 5)]);
    }
}
