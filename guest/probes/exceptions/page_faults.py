"""#PF: each bit of the error code, CR2, and the retry after the page is mapped."""

from harness import PAGE_WINDOW, USER_ALIAS, Deviation, Kernel, PageFaultErrorCode, ProbeBody, Rflags, probe

PAGE = 5  # of the page window
AT = PAGE_WINDOW + 0x1000 * PAGE + 0x123
RESERVED_BIT = 51  # above MAXPHYADDR of every model here, below the ignored bits

# Name: fields of the page's entry, ring, access, error code.
CASES = {
    "read_not_present": ({"P": 0}, 0, "read", {}),
    "write_not_present": ({"P": 0}, 0, "write", {"WR": 1}),
    "fetch_not_present": ({"P": 0}, 0, "fetch", {"ID": 1}),
    "user_read_not_present": ({"P": 0}, 3, "read", {"US": 1}),
    "user_write_not_present": ({"P": 0}, 3, "write", {"US": 1, "WR": 1}),
    "user_fetch_not_present": ({"P": 0}, 3, "fetch", {"US": 1, "ID": 1}),
    "write_read_only_wp": ({"RW": 0}, 0, "write", {"P": 1, "WR": 1}),
    "user_write_read_only": ({"RW": 0}, 3, "write", {"P": 1, "WR": 1, "US": 1}),
    "user_read_supervisor": ({"US": 0}, 3, "read", {"P": 1, "US": 1}),
    "user_write_supervisor": ({"US": 0}, 3, "write", {"P": 1, "US": 1, "WR": 1}),
    "user_fetch_supervisor": ({"US": 0}, 3, "fetch", {"P": 1, "US": 1, "ID": 1}),
    "fetch_execute_disable": ({"XD": 1}, 0, "fetch", {"P": 1, "ID": 1}),
    "user_fetch_execute_disable": ({"XD": 1}, 3, "fetch", {"P": 1, "US": 1, "ID": 1}),
    "read_reserved": ({"ADDRESS": 1 << RESERVED_BIT - 12}, 0, "read", {"P": 1, "RSVD": 1}),
    "write_reserved": ({"ADDRESS": 1 << RESERVED_BIT - 12}, 0, "write", {"P": 1, "RSVD": 1, "WR": 1}),
    "user_read_reserved": ({"ADDRESS": 1 << RESERVED_BIT - 12}, 3, "read", {"P": 1, "RSVD": 1, "US": 1}),
}
ACCESS = {"read": "mov al, byte ptr [rbx]", "write": "mov byte ptr [rbx], al", "fetch": "jmp rbx"}


@probe.each(case=list(CASES))
@probe(
    spec="SDM vol. 3A, Interrupt 14—Page-Fault Exception (#PF); Page-Fault Exceptions",
    covers=["exceptions.pf-code", "exceptions.pf-cr2", "exceptions.wp"],
    deviation=Deviation(
        targets="*-tcg*", cases="*_reserved", kind="bug", sees=r"'0x(8|a|c)' == '0x(9|b|d)'", ref="exceptions-pf-rsvd"
    ),
)
def each_cause_has_its_error_code(k: Kernel, case: str) -> ProbeBody:
    """#PF has an error code of present, write, user, reserved bit and fetch; CR2 holds the address to the byte."""
    fields, ring, access, bits = CASES[case]
    at = AT + (USER_ALIAS if ring else 0)
    k.trigger(k.pages.entry, PAGE, fields)
    k.asm(f"movabs rbx, {at:#x}\nmov byte ptr [{PAGE_WINDOW:#x}], 0xC3")
    with k.faults():
        if ring:
            k.ring3().do(k.asm, f"culprit: {ACCESS[access]}")
        else:
            k.asm(f"culprit: {ACCESS[access]}")

    run = yield

    assert run.vectors == [14]
    (fault,) = run.interrupts
    assert hex(fault.error_code or 0) == hex(PageFaultErrorCode.of(**bits))
    assert fault.cr2 == at
    where = at if access == "fetch" else run.address("culprit") + (USER_ALIAS if ring else 0)
    assert fault.rip == where


@probe(spec="SDM vol. 3A, Access Rights (CR0.WP)", covers=["exceptions.wp"])
def wp_guards_read_only_pages_from_ring_0(k: Kernel) -> ProbeBody:
    """With CR0.WP=0 ring 0 writes to a read-only page; with WP=1 the same write is #PF(P, W/R)."""
    k.pages.entry(PAGE, RW=0)
    k.cr.CR0.update(WP=0)
    k.asm(f"mov byte ptr [{AT:#x}], 0x5A")
    k.trigger(k.cr.CR0.update, WP=1)
    k.faults(14).do(k.asm, f"mov byte ptr [{AT:#x}], 0x5B")

    run = yield

    assert run.fields("vector", "error_code") == [(14, PageFaultErrorCode.of(P=1, WR=1))]
    assert run.memory(AT, 1) == b"\x5a"


@probe.each(access=["read", "write", "fetch"])
@probe(
    spec="SDM vol. 3A, Supervisor-Mode Access Prevention; Supervisor-Mode Execution Prevention (Access Rights)",
    covers=["exceptions.smep-smap"],
)
def smep_and_smap_guard_ring_0_from_user_pages(k: Kernel, access: str) -> ProbeBody:
    """With CR4.SMEP a fetch, with CR4.SMAP a data access of ring 0 to a user page is #PF with P set; without, none."""
    at = AT + USER_ALIAS
    k.pages.entry(PAGE)
    k.asm(f"mov byte ptr [{AT:#x}], 0xC3\nmovabs rbx, {at:#x}")
    k.asm("call rbx" if access == "fetch" else ACCESS[access])
    k.trigger(k.cr.CR4.update, SMEP=1, SMAP=1)
    k.faults(14).do(k.asm, ACCESS[access])
    k.cr.CR4.update(SMEP=0, SMAP=0)

    run = yield

    bits = {"read": {}, "write": {"WR": 1}, "fetch": {"ID": 1}}[access]
    assert run.fields("vector", "error_code", "cr2") == [(14, PageFaultErrorCode.of(P=1, **bits), at)]


@probe(spec="SDM vol. 3A, Access Rights (SMAP and EFLAGS.AC)", covers=["exceptions.smep-smap"])
def ac_opens_smap(k: Kernel) -> ProbeBody:
    """STAC lets ring 0 access user pages under SMAP; CLAC closes them again."""
    at = AT + USER_ALIAS
    k.pages.entry(PAGE)
    k.asm(f"movabs rbx, {at:#x}")
    k.cr.CR4.update(SMAP=1)
    k.asm("stac\nmov byte ptr [rbx], 0x6B")
    k.trigger(k.asm, "clac")
    k.faults(14).do(k.asm, "mov byte ptr [rbx], 0x6C")
    k.asm("clac")
    k.cr.CR4.update(SMAP=0)

    run = yield

    assert run.fields("vector", "error_code") == [(14, PageFaultErrorCode.of(P=1, WR=1))]
    assert run.memory(AT, 1) == b"\x6b"


@probe.each(right=["access_disable", "write_disable"], access=["read", "write"])
@probe(spec="SDM vol. 3A, Protection Keys", covers=["exceptions.pf-pk"])
def a_protection_key_denies_with_pk(k: Kernel, right: str, access: str) -> ProbeBody:
    """With CR4.PKE, PKRU's AD and WD of the page's key deny data accesses: #PF with PK, P and U/S set."""
    at, rights = AT + USER_ALIAS, (1 if right == "access_disable" else 2) << 6
    passes = (right, access) == ("write_disable", "read")
    k.require_cpuid(7, "ecx", 3, "PKU")
    k.pages.entry(PAGE, PK=3)
    k.cr.CR4.update(PKE=1)
    k.trigger(k.asm, f"mov eax, {rights}\nxor ecx, ecx\nxor edx, edx\n.byte 0x0F, 0x01, 0xEF  # wrpkru")
    k.asm(f"movabs rbx, {at:#x}")
    with k.faults(14, optional=passes), k.ring3():
        k.asm(f"culprit: {ACCESS[access]}")
    k.asm("xor ecx, ecx\n.byte 0x0F, 0x01, 0xEE  # rdpkru")
    pkru = k.value("pkru", "rax")
    k.cr.CR4.update(PKE=0)

    run = yield

    assert run[pkru] == rights
    fault = (14, PageFaultErrorCode.of(P=1, US=1, PK=1, WR=int(access == "write")), at)
    assert run.fields("vector", "error_code", "cr2") == ([] if passes else [fault])


@probe.each(size=[2, 4, 8], first=[1, 7])
@probe(spec="SDM vol. 3A, Interrupt 14—Page-Fault Exception (#PF) (CR2)", covers=["exceptions.pf-cr2"])
def cr2_is_exact_across_a_page_boundary(k: Kernel, size: int, first: int) -> ProbeBody:
    """An access that begins in a present page and ends in a missing one faults with CR2 at the missing page's start."""
    inside = min(first, size - 1)
    boundary = PAGE_WINDOW + 0x1000 * (PAGE + 1)
    register = {2: "ax", 4: "eax", 8: "rax"}[size]
    k.pages.entry(PAGE)
    k.asm(f"mov ebx, {boundary - inside:#x}")
    k.trigger(k.pages.entry, PAGE + 1, P=0)
    k.faults(14).do(k.asm, f"mov {register}, [rbx]")

    run = yield

    assert run.fields("vector", "cr2", "error_code") == [(14, boundary, 0)]


@probe(spec="SDM vol. 3A, Interrupt 14—Page-Fault Exception (#PF)", covers=["exceptions.pf-cr2"])
def a_write_across_a_boundary_is_all_or_nothing(k: Kernel) -> ProbeBody:
    """A write that faults in its second page leaves the bytes in its first page as they were."""
    boundary = PAGE_WINDOW + 0x1000 * (PAGE + 1)
    k.pages.entry(PAGE)
    k.asm(f"mov ebx, {boundary - 4:#x}\nmov dword ptr [rbx], 0x11223344\nmov rcx, -1")
    k.trigger(k.pages.entry, PAGE + 1, RW=0)
    k.faults(14).do(k.asm, "mov rcx, -1\nmov qword ptr [rbx], rcx")

    run = yield

    assert run.fields("vector", "cr2") == [(14, boundary)]
    assert run.memory(boundary - 4, 4) == bytes([0x44, 0x33, 0x22, 0x11])


@probe(
    spec="SDM vol. 3A, Program or Task Restart; Interrupt 14—Page-Fault Exception (#PF)", covers=["exceptions.pf-retry"]
)
def the_access_is_retried_when_the_page_is_mapped(k: Kernel) -> ProbeBody:
    """The handler maps the page and returns: the access happens then, INVLPG or not: absence is not cached."""
    k.pages.entry(PAGE)
    k.asm(f"mov byte ptr [{AT:#x}], 0x42")
    k.handler(14).do(k.pages.entry, PAGE, flush=False)
    k.trigger(k.pages.entry, PAGE, P=0)
    k.asm(f"movzx ebx, byte ptr [{AT:#x}]")
    got = k.value("got", "rbx")

    run = yield

    assert run.vectors == [14]
    assert run[got] == 0x42


@probe(spec="SDM vol. 3A, Invalidation of TLBs and Paging-Structure Caches", covers=["exceptions.invlpg"])
def invlpg_makes_a_new_mapping_visible(k: Kernel) -> ProbeBody:
    """After INVLPG the next access uses the changed entry: another physical page, then none."""
    k.pages.entry(PAGE)
    k.pages.entry(PAGE + 1)
    k.asm(f"mov byte ptr [{AT:#x}], 1\nmov byte ptr [{AT + 0x1000:#x}], 2\nmovzx ebx, byte ptr [{AT:#x}]")
    first = k.value("first", "rbx")
    with k.trigger():
        k.pages.entry(PAGE, ADDRESS=k.pages.address(PAGE + 1) >> 12, flush=False)
        k.pages.flush(PAGE)
    k.asm(f"movzx ebx, byte ptr [{AT:#x}]")
    second = k.value("second", "rbx")
    k.pages.entry(PAGE, P=0)
    k.faults(14).do(k.asm, f"mov al, byte ptr [{AT:#x}]")

    run = yield

    assert (run[first], run[second]) == (1, 2)
    assert run.vectors == [14]


@probe.each(flag=["A", "D"])
@probe(spec="SDM vol. 3A, Accessed and Dirty Flags", covers=["exceptions.pf-accessed-dirty"])
def the_processor_sets_accessed_and_dirty(k: Kernel, flag: str) -> ProbeBody:
    """A read sets the entry's accessed flag and not its dirty flag; a write sets both."""
    entry = k.pages.entry_address(PAGE)
    k.pages.entry(PAGE)
    if flag == "D":
        k.asm(f"mov al, byte ptr [{AT:#x}]")
    before = k.peek(entry, "entry_before")
    k.trigger(k.asm, f"mov byte ptr [{AT:#x}], al" if flag == "D" else f"mov al, byte ptr [{AT:#x}]")
    after = k.peek(entry, "entry_after")

    run = yield

    assert run[before] & 0x60 == (0x20 if flag == "D" else 0)
    assert run[after] & 0x60 == (0x60 if flag == "D" else 0x20)


@probe(
    spec="SDM vol. 2, REP/REPE/REPZ/REPNE/REPNZ—Repeat String Operation Prefix",
    covers=["exceptions.rep"],
    deviation=Deviation(targets="*-tcg*", versions="<9.1", kind="unimplemented", sees="RF clear", ref="exceptions-rf"),
)
def rep_movs_stops_and_resumes_at_the_faulting_byte(k: Kernel) -> ProbeBody:
    """REP MOVSB that faults has moved what lies before the fault, as RCX, RSI and RDI show, and it resumes."""
    source = k.buffer("source", 256, fill=bytes(range(256)))
    boundary = PAGE_WINDOW + 0x1000 * (PAGE + 1)
    left = k.value("rcx_at_fault")
    k.pages.entry(PAGE)
    with k.handler(14):
        k.asm(f"mov rax, qword ptr [rdi+FRAME_RCX]\nmov qword ptr [{left.name}], rax")
        k.pages.entry(PAGE + 1)
    k.trigger(k.pages.entry, PAGE + 1, P=0)
    k.asm(f"mov esi, {source.name}\nmov edi, {boundary - 100:#x}\nmov ecx, 256\nculprit: rep movsb")

    run = yield

    assert run.vectors == [14]
    (fault,) = run.interrupts
    assert (fault.rip, fault.cr2) == (run.address("culprit"), boundary)
    assert run[left] == 156
    assert run.memory(boundary - 100, 256) == bytes(range(256))
    assert Rflags(fault.rflags).RF == 1, "RF clear in the frame of a fault inside REP"
