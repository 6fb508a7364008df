// The reader-writer mutex, looked at from inside: when slots are used, and that nothing is left in them.

#include <gtest/gtest.h>

extern "C" {
#include "core/sched.h"
#include "sync/rw_slots.h"
}

#include "tests/support/golib_test.h"

using namespace golib_test;

namespace {

// sync/rwmutex.c's BIAS and READERS.
bool UsesSlots(const go_rwmutex &rw) {
  return (__atomic_load_n(&rw.state_, __ATOMIC_ACQUIRE) & 64) != 0;
}
uint64_t InWord(const go_rwmutex &rw) {
  return __atomic_load_n(&rw.state_, __ATOMIC_ACQUIRE) >> 8 & 0xffffffff;
}

void Read(go_rwmutex *rw, int n) {
  for (int i = 0; i < n; i++) {
    go_rwmutex_rlock(rw);
    go_rwmutex_runlock(rw);
  }
}

TEST(RWMutexSlots, ComeWithReadingAndGoWithWriting) {
  RunGo([] {
    Procs procs(2);
    go_rwmutex rw{};
    for (int round = 0; round < 5; round++) {
      Read(&rw, 1000);
      EXPECT_FALSE(UsesSlots(rw)) << "too few reads";
      Read(&rw, 1000);
      EXPECT_TRUE(UsesSlots(rw));
      go_rwmutex_rlock(&rw);
      EXPECT_EQ(InWord(rw), 0u) << "in a slot";
      go_rwmutex_runlock(&rw);
      EXPECT_TRUE(UsesSlots(rw));
      go_rwmutex_lock(&rw);
      EXPECT_FALSE(UsesSlots(rw));
      go_rwmutex_unlock(&rw);
      EXPECT_EQ(rw.state_, 0u);
    }
  });
}

// A writer now and then keeps the word in use: looking at the slots would not pay.
TEST(RWMutexSlots, NotWithFrequentWriting) {
  RunGo([] {
    Procs procs(2);
    go_rwmutex rw{};
    for (int i = 0; i < 100; i++) {
      Read(&rw, 500);
      go_rwmutex_lock(&rw);
      go_rwmutex_unlock(&rw);
      EXPECT_FALSE(UsesSlots(rw));
    }
  });
}

TEST(RWMutexSlots, NotWithOneP) {
  RunGo([] {
    Procs procs(1);
    go_rwmutex rw{};
    Read(&rw, 10000);
    EXPECT_FALSE(UsesSlots(rw));
  });
}

// More read locks than slots go to the word, and may be given back in any order.
TEST(RWMutexSlots, TheRestGoesToTheWord) {
  RunGo([] {
    Procs procs(2);
    go_rwmutex rw{};
    Read(&rw, 2500);
    ASSERT_TRUE(UsesSlots(rw));
    constexpr int n = 10;
    for (int i = 0; i < n; i++) go_rwmutex_rlock(&rw);
    EXPECT_TRUE(UsesSlots(rw));
    EXPECT_EQ(InWord(rw), static_cast<uint64_t>(n - 2));
    EXPECT_FALSE(go_rwmutex_trylock(&rw));
    for (int i = 0; i < n; i++) go_rwmutex_runlock(&rw);
    EXPECT_TRUE(go_rwmutex_trylock(&rw));
    go_rwmutex_unlock(&rw);
    EXPECT_EQ(rw.state_, 0u);
  });
}

// A writer that comes counts the readers in slots into the word, and waits for them.
TEST(RWMutexSlots, AWriterMovesReadersToTheWord) {
  RunGo([] {
    Procs procs(2);
    go_rwmutex rw{};
    Read(&rw, 2500);
    go_rwmutex_rlock(&rw);
    go_rwmutex_rlock(&rw);
    EXPECT_EQ(InWord(rw), 0u);
    go_wg wg{};
    bool wrote = false;
    SPAWN_WG(&wg, [&] {
      go_rwmutex_lock(&rw);
      wrote = true;
      go_rwmutex_unlock(&rw);
    });
    Until([&] { return InWord(rw) == 2; });
    EXPECT_FALSE(UsesSlots(rw));
    go_rwmutex_runlock(&rw);
    EXPECT_FALSE(wrote);
    go_rwmutex_runlock(&rw);
    go_wg_wait(&wg);
    EXPECT_TRUE(wrote);
  });
}

// The table itself: every rwmutex has two different slots in every row, found again by who looks for it.
TEST(RWMutexSlots, Table) {
  static go_rw_slots_ table;
  std::vector<go_p_> ps(GO_RW_ROWS_ + 3);
  std::vector<go_m_> ms(ps.size());
  for (size_t i = 0; i < ps.size(); i++) {
    ps[i].id = static_cast<uint32_t>(i);
    ms[i].p = &ps[i];
  }
  std::vector<go_rwmutex> locks(100);
  for (auto &rw : locks) {
    EXPECT_NE(go_rw_col_(&rw), go_rw_other_(go_rw_col_(&rw)));
    for (size_t i = 0; i < GO_RW_ROWS_; i++) {
      go_aptr *first = go_rw_slot_put_(&table, &ms[i], &rw);
      go_aptr *second = go_rw_slot_put_(&table, &ms[i], &rw);
      ASSERT_NE(first, nullptr);
      ASSERT_NE(second, nullptr);
      EXPECT_NE(first, second);
      EXPECT_EQ(go_rw_slot_put_(&table, &ms[i], &rw), nullptr) << "a third one";
      EXPECT_TRUE(go_rw_slot_get_(&table, &ms[i], &rw));
    }
    EXPECT_EQ(go_rw_slot_put_(&table, &ms[GO_RW_ROWS_], &rw) != nullptr, true) << "shares a row";
    EXPECT_EQ(go_rw_slots_take_(&table, &rw, 1), 1u);
    EXPECT_EQ(go_rw_slots_take_(&table, &rw, UINT32_MAX), uint32_t{GO_RW_ROWS_});
    EXPECT_EQ(go_rw_slots_take_(&table, &rw, UINT32_MAX), 0u);
  }
  for (auto &row : table.at) {
    for (auto &slot : row) EXPECT_EQ(slot.v, nullptr);
  }
}

}  // namespace
